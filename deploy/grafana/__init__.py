"""The Grafana dashboards, written as Python: `python -m deploy.grafana` makes the JSON beside this file."""
