"""Consent: who allowed what, on which papers, and what follows from it. Explained in docs/consent-vocabulary.md.

``record``    one signed version, with a skeleton that outlives the person's data
``events``    what happened, and the state derived from it
``rules``     one module a jurisdiction; `decide` gives every reason for and against
``permit``    short-lived signed tokens, checked without a database
``registry``  PostgreSQL: append, verify, decide, issue permits, say whether a key may be released
``acts``      what people do: approve, object, resolve, withdraw, renew
``watch``     what the clock, objections and withdrawals demand now
``erasure``   forgetting one subject, resumable, with a signed receipt; ``erasing`` does it in this studio
``export``    Kantara-style receipt and DPV JSON-LD
``check``     what an auditor compares between registry and audit log
"""
