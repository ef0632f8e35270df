"""What is put beside a running gateway: Prometheus rules and Grafana dashboards."""
