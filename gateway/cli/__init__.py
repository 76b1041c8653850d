"""The command `gateway`: serve, ingest, search, embed, collections, profile, doctor, parity, config."""
