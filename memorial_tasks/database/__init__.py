"""The registry's database: one real PostgreSQL everywhere, plain SQL migrations, typed functions.

``server``      the embedded PostgreSQL, started on demand and shared by every process on the machine
``connection``  transactions with a role, a name and dict rows
``migrate``     the numbered files of ``sql/``
``registry``    orders, materials, step runs, reviews, deliveries, permits
"""
