"""The studio's own pages inside Airflow: what waits for a person, orders, consents, audit."""
