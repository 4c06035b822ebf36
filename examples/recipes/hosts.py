jax.distributed.initialize()  # the same script on each host, with one directory that all of them see
keras.distribution.set_distribution(keras.distribution.DataParallel())
