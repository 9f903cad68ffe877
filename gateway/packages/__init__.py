"""Package files: building and signing them, taking them in from an upload, and reading pieces of them for the pump.

Packages lie in one folder as plain payloads, named by their SHA-256; the signed manifest lives in the store. Nothing here knows
of terminals, campaigns or HTTP.
"""
