"""The domain of Vyaz: letterforms, monograms, the ledger and the catalogue."""
