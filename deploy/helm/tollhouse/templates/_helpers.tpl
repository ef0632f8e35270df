{{- define "tollhouse.name" -}}
{{- /* 63 characters less those of -metrics */}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 55 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tollhouse.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tollhouse.labels" -}}
{{ include "tollhouse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tollhouse.secret" -}}
{{- if .Values.secret.existing }}{{ .Values.secret.existing }}
{{- else if .Values.secret.create }}{{ include "tollhouse.name" . }}
{{- else }}{{ fail "secret.existing names no secret: make one with the key `pepper`, or set secret.create to try things" }}{{ end }}
{{- end }}

{{- define "tollhouse.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tollhouse.isAlone" -}}
{{- if eq .Values.store "sqlite" }}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled }}
{{- fail "store: sqlite is for one pod: set replicas to 1 and autoscaling.enabled to false, or use postgresql" }}
{{- end }}true{{ end }}
{{- end }}

{{- define "tollhouse.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities: {drop: [ALL]}
{{- end }}

{{- define "tollhouse.config" -}}
version: 1
include: ["conf.d/*.yaml"]
workers: {{ .Values.workers }}
listeners:
  public:
    bind: "0.0.0.0:8080"
    drain_delay: {{ .Values.drain.delaySeconds }}s
    drain_timeout: {{ .Values.drain.timeoutSeconds }}s
  admin: {bind: "unix:/var/lib/tollhouse/admin.sock"}
  metrics: {bind: "0.0.0.0:9100"}
# For `kubectl port-forward`: nobody else reaches the loopback of a pod, and whoever does needs a token.
dashboard: {bind: "127.0.0.1:9901"}
store:
  path: /var/lib/tollhouse/tollhouse.db
  {{- if eq .Values.store "postgresql" }}
  url: "${file:/run/secrets/tollhouse/store-url}"
limits:
  url: "${file:/run/secrets/tollhouse/limits-url}"
  {{- end }}
request_log: {path: /var/lib/tollhouse/requests, bytes_max: 1GB}
peppers:
  {{- if not (hasKey .Values.peppers.keys .Values.peppers.current) }}
  {{- fail "peppers.current is none of peppers.keys" }}
  {{- end }}
  current: {{ .Values.peppers.current }}
  {{- range $id, $key := .Values.peppers.keys }}
  {{ $id }}: "${file:/run/secrets/tollhouse/{{ $key }}}"
  {{- end }}
{{- end }}
