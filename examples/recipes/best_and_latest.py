best = ModelCheckpointEnhanced("ckpt/best.keras", monitor="val_loss", save_best_only=True)
latest = ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras", max_to_keep=2)
