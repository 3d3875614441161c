"""The OCI distribution protocol as a client speaks it: references, manifests, registries.

From the top; each row knows only those below it (a contract in ``pyproject.toml``)::

    registry                            every registry host, every tenant, one object
    lookup, taglists, blobs, upload     what is asked of one repository
    transport/        providers/        requests to one host for one tenant; clouds' logins
    authentication/                     credentials, keychains, challenges, tokens
    hosts/                              connections, whom they may reach, what is answered
    grammar/          flights, limits   values read from text; work shared; every bound
"""
