{{- define "oci-artifact-csi.name" -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "oci-artifact-csi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oci-artifact-csi.labels" -}}
{{ include "oci-artifact-csi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "oci-artifact-csi.metadata" -}}
name: {{ include "oci-artifact-csi.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "oci-artifact-csi.labels" . | nindent 2 }}
{{- end }}

{{- define "oci-artifact-csi.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The name of the environment variable of a flag: OCI_ARTIFACT_CACHE_HIGH of cacheHigh. */}}
{{- define "oci-artifact-csi.variable" -}}
OCI_ARTIFACT_{{ snakecase . | upper }}
{{- end }}

{{- /* A value as text. Helm reads every number of values.yaml as a float, and prints large ones as 1e+06. */}}
{{- define "oci-artifact-csi.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /* Whether a file has a field, or can have it: what an inline file has is known. */}}
{{- define "oci-artifact-csi.mayContain" -}}
{{- $source := index . 1 -}}
{{- if and $source (or (not $source.inline) (contains (index . 0) (toJson $source.inline))) }}true{{ end -}}
{{- end }}

{{- /* The rules of the ClusterRole. Each feature that is on brings those that it needs. */}}
{{- define "oci-artifact-csi.rules" -}}
{{- if .Values.events }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- if .Values.podPullSecrets }}
- apiGroups: [""]
  resources: [pods, serviceaccounts, secrets]
  verbs: [get]
{{- if include "oci-artifact-csi.mayContain" (list "namespaceSelector" .Values.accessPolicy) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- if include "oci-artifact-csi.mayContain" (list "nodeSelector" .Values.prefetch) }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end }}
{{- end }}
{{- end }}
