"""Where bytes are kept: blobs under keys, shards as tar files, weights by their digest."""
