"""The tests of kzoo and kzoo_export; paths mirror the source."""
