"""What a person says of pairs of image and class: in which order to ask, the answers, and what they correct."""
