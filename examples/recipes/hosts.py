jax.distributed.initialize()  # the same script on each host: one directory for all, and its own rows for each
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
