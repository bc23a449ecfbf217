{{- define "oci-artifact-csi.name" -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "oci-artifact-csi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Pods of the holder are none of the driver's. */}}
{{- define "oci-artifact-csi.holderSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-holder
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* On the nodes. The driver has kubelet's directory at the same path. */}}
{{- define "oci-artifact-csi.holderDirectory" -}}
{{ printf "%s/plugins/%s-holder" .Values.kubeletDir .Values.driverName }}
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

{{- /* Whether an entry of a list in an inline file has a field: (list "rules" "namespaceSelector" source). */}}
{{- define "oci-artifact-csi.hasField" -}}
{{- $inline := (index . 2).inline -}}
{{- if kindIs "string" $inline }}{{ $inline = fromYaml $inline }}{{ end -}}
{{- $field := index . 1 -}}
{{- $has := false -}}
{{- if kindIs "map" $inline -}}
{{- $entries := get $inline (index . 0) -}}
{{- if kindIs "slice" $entries -}}
{{- range $entries }}{{ if kindIs "map" . }}{{ if hasKey . $field }}{{ $has = true }}{{ end }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $has }}true{{ end -}}
{{- end }}

{{- /* The same for a file that is not inline, and can have it. */}}
{{- define "oci-artifact-csi.mayHaveField" -}}
{{- $source := index . 2 -}}
{{- if and $source (or (not $source.inline) (include "oci-artifact-csi.hasField" .)) }}true{{ end -}}
{{- end }}

{{- /* The rules of the ClusterRole. Each feature that is on brings those that it needs. */}}
{{- define "oci-artifact-csi.rules" -}}
{{- include "oci-artifact-csi.settleFiles" . -}}
{{- if .Values.events }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- if .Values.podPullSecrets }}
- apiGroups: [""]
  resources: [pods, serviceaccounts, secrets]
  verbs: [get]
{{- if include "oci-artifact-csi.mayHaveField" (list "rules" "namespaceSelector" .Values.accessPolicy) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- end }}
{{- $selects := and .Values.podPullSecrets (include "oci-artifact-csi.mayHaveField" (list "artifacts" "nodeSelector" .Values.prefetch)) }}
{{- if or .Values.prefetchResources (eq .Values.nodeLabels "api") (and $selects (not .Values.nodeLabels)) }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get{{ if .Values.prefetchLabels }}, patch{{ end }}]
{{- end }}
{{- if .Values.prefetchResources }}
- apiGroups: [oci-artifact.csi.internal]
  resources: [artifactprefetches, clusterartifactprefetches]
  verbs: [list, watch]
- apiGroups: [oci-artifact.csi.internal]
  resources: [artifactprefetches/status, clusterartifactprefetches/status]
  verbs: [patch]
- apiGroups: [oci-artifact.csi.internal]
  resources: [nodeartifacts]
  verbs: [get, list, create, patch]
{{- end }}
{{- end }}
