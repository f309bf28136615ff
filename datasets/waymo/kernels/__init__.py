"""Compiled loops over the bytes of records: checksums and protobuf's wire format."""
