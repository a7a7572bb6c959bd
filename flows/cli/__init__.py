"""The command line `alnico`."""
