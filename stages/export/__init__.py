"""A run -> a file or a folder that others load: ONNX, torch.export, Hugging Face, OpenVINO."""
