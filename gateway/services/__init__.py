"""What a person or a backend may do and ask: one function, one transaction, frozen dataclasses back.

Called by the doors (``api``, later ``console``). A service checks the request, changes rows together with the ledger entry
that says who asked, and rings the doorbell after the commit; the engine takes it from there. Services know no HTTP, no SQL
and nothing of the engine.
"""
