"""The parts, in wings; each wing imports only wings above it.

files        a file or folder on a disk or in a store
runtime      the machine: devices, processes, signals, seeds, provenance
images       a file -> pixels -> views
labels       what a label matrix is: codes, observed labels, DAMP, splits
manifest     the entries of data sets and their keys
datasets     an entry and its files -> image ids, splits, labels
sources      what people have, a folder or a file -> the entry that reads it
clip         the model, its image tower, prompts, the text graph
score_cache  the cache that stage one writes and everything else reads
scoring      images -> cosines, shard by shard
policies     cosines -> pseudo-labels
review       pairs of image and class in the order in which an answer helps most; the answers, and what they correct
losses       logits and labels -> a loss
evaluation   metrics and their intervals
training     a cache -> a classifier

In the root: `errors`, `plugins` (the hooks and constants of losses and policies), `custom` (losses and policies of a user's own),
`method_names` (their names with constants) and `quiet` (libraries that talk).
"""
