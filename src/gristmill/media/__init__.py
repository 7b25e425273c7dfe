"""What media bytes mean: image formats, decoding, resizing, encoding, perceptual hashes.

Bytes come from strangers. A format is decided by magic bytes against an allow-list, sizes are read from
the header before a pixel is decoded, and in production decoding happens in child processes (``pool``).
"""
