"""Images -> cosines, shard by shard."""
