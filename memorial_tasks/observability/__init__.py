"""What a studio shows of itself: numbers and log lines, neither of which ever holds personal data.

``metrics``  the registry's rows as samples: names, labels and meaning of every metric in one table
``collect``  reads the rows, a few aggregated queries under the auditor's role
``export``   the samples as OpenMetrics text, for a scraper, or as OTLP, for a collector
``logs``     one JSON line an event; strings nobody declared harmless are withheld
"""
