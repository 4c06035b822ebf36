checkpoint = ModelCheckpointEnhanced("ckpt/{epoch:03d}-{batch:05d}.keras", save_freq=1000, max_to_keep=3)
