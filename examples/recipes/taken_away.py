checkpoint = ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras", save_on_signal=True, save_every="10min")
