checkpoint = ModelCheckpointEnhanced("s3://bucket/run/{epoch:03d}.keras", save_on_background=True)
restored = restore_callbacks("s3://bucket/run", into=[checkpoint], model=model, missing_ok=True)
