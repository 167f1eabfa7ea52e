"""The tests of kzoo_export."""
