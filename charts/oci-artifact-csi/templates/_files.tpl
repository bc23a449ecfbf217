{{- /*
Files of the configuration. Each is inline, in a ConfigMap or Secret, or on the node. The driver reads them again when
they change, so that no change restarts a pod: a ConfigMap or Secret is always mounted as a whole directory, since
kubelet never updates a single file that is mounted by subPath.
*/}}

{{- /* The flags that name a file or directory: the file's name (none: a directory), and whether its text is secret. */}}
{{- define "oci-artifact-csi.fileFlags" -}}
registriesConf: {file: registries.conf}
registriesConfDir: {}
hostsDir: {}
certsDir: {secret: true}
caFile: {file: ca.pem}
authFile: {file: auth.json, secret: true}
credentialProviderConfig: {file: credential-providers.yaml}
credentialProviderBinDir: {}
accessPolicy: {file: access-policy.yaml}
policy: {file: policy.json}
prefetch: {file: prefetch.yaml}
{{- end }}

{{- /*
Leaves each file with one kind, such as inline or hostPath. A kind is null where one file of values takes back what
another one, such as a profile, sets. The schema would name neither the kinds nor the remedy.
*/}}
{{- define "oci-artifact-csi.settleFiles" -}}
{{- range $flag, $_ := include "oci-artifact-csi.fileFlags" . | fromYaml -}}
  {{- with get $.Values $flag -}}
    {{- $source := . -}}
    {{- range $kind, $value := $source -}}
      {{- if kindIs "invalid" $value -}}{{- $_ := unset $source $kind -}}{{- end -}}
    {{- end -}}
    {{- $kinds := keys $source | sortAlpha -}}
    {{- if gt (len $kinds) 1 -}}
      {{- $other := ternary "hostPath" (first $kinds) (hasKey $source "hostPath") -}}
      {{- fail (printf "%s has %s, and must have one of them: remove the other, for example by --set %s.%s=null" $flag (join " and " $kinds) $flag $other) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- /* The inline files of a flag: for each its key in the ConfigMap or Secret, its path in the directory, and its text. */}}
{{- define "oci-artifact-csi.inlineFiles" -}}
{{- $inline := .source.inline -}}
{{- $files := list -}}
{{- if .file -}}
  {{- $text := $inline -}}
  {{- if not (kindIs "string" $inline) -}}
    {{- $text = ternary (toPrettyJson $inline) (toYaml $inline) (hasSuffix ".json" .file) -}}
  {{- end -}}
  {{- $files = append $files (dict "key" .file "path" .file "text" $text) -}}
{{- else -}}
  {{- range $name, $content := $inline -}}
    {{- if eq $.flag "registriesConfDir" -}}
      {{- $files = append $files (dict "path" $name "text" $content) -}}
    {{- else if eq $.flag "hostsDir" -}}
      {{- $files = append $files (dict "path" (printf "%s/hosts.toml" $name) "text" $content) -}}
    {{- else -}}
      {{- range $file, $text := $content -}}
        {{- $files = append $files (dict "path" (printf "%s/%s" $name $file) "text" $text) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- /* A key cannot contain the slash of a path or the colon of a port. */ -}}
  {{- range $index, $file := $files -}}
    {{- $_ := set $file "key" (printf "%s-%d" (kebabcase $.flag) $index) -}}
  {{- end -}}
{{- end -}}
{{- dict "files" $files | toJson -}}
{{- end }}

{{- /* The data of the ConfigMap (secret: false) or Secret (true) that has the inline files. */}}
{{- define "oci-artifact-csi.inlineData" -}}
{{- include "oci-artifact-csi.settleFiles" $.root }}
{{- range $flag, $kind := include "oci-artifact-csi.fileFlags" $ | fromYaml }}
{{- $source := get $.root.Values $flag }}
{{- if and $source.inline (eq $.secret (default false $kind.secret)) }}
{{- range (include "oci-artifact-csi.inlineFiles" (dict "flag" $flag "file" $kind.file "source" $source) | fromJson).files }}
{{ .key }}: {{ .text | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
What the files add to the pod: env, mounts and volumes. A directory of the node has the same path in the container,
because files name others by their path: hosts.toml its certificates, policy.json its keys. It is mounted once, and not
at all if it lies in another one.
*/}}
{{- define "oci-artifact-csi.files" -}}
{{- include "oci-artifact-csi.settleFiles" . -}}
{{- $name := include "oci-artifact-csi.name" . -}}
{{- $env := list -}}{{- $mounts := list -}}{{- $volumes := list -}}
{{- $wanted := .Values.nodeDirectories -}}
{{- range $flag, $kind := include "oci-artifact-csi.fileFlags" . | fromYaml -}}
  {{- $source := get $.Values $flag -}}
  {{- if $source -}}
    {{- $volume := kebabcase $flag -}}
    {{- $directory := printf "/etc/oci-artifact-csi/%s" $volume -}}
    {{- $path := "" -}}
    {{- if $source.hostPath -}}
      {{- $path = $source.hostPath -}}
      {{- /* The directory that has it, so that one that is replaced is seen. */ -}}
      {{- $directory = dir $path -}}
      {{- $wanted = append $wanted $directory -}}
    {{- else -}}
      {{- $items := list -}}
      {{- if $source.inline -}}
        {{- $path = printf "%s/%s" $directory (default "" $kind.file) | trimSuffix "/" -}}
        {{- range (include "oci-artifact-csi.inlineFiles" (dict "flag" $flag "file" $kind.file "source" $source) | fromJson).files -}}
          {{- $items = append $items (dict "key" .key "path" .path) -}}
        {{- end -}}
        {{- if $kind.secret -}}
          {{- $volumes = append $volumes (dict "name" $volume "secret" (dict "secretName" $name "items" $items "defaultMode" 0400)) -}}
        {{- else -}}
          {{- $volumes = append $volumes (dict "name" $volume "configMap" (dict "name" $name "items" $items)) -}}
        {{- end -}}
      {{- else -}}
        {{- $existing := default $source.secret $source.configMap -}}
        {{- $path = printf "%s/%s" $directory (default "" $existing.key) | trimSuffix "/" -}}
        {{- if $source.secret -}}
          {{- $volumes = append $volumes (dict "name" $volume "secret" (dict "secretName" $existing.name "defaultMode" 0400)) -}}
        {{- else -}}
          {{- $volumes = append $volumes (dict "name" $volume "configMap" (dict "name" $existing.name)) -}}
        {{- end -}}
      {{- end -}}
      {{- $mounts = append $mounts (dict "name" $volume "mountPath" $directory "readOnly" true) -}}
    {{- end -}}
    {{- $env = append $env (dict "name" (include "oci-artifact-csi.variable" $flag) "value" $path) -}}
  {{- end -}}
{{- end -}}
{{- $directories := list .Values.kubeletDir .Values.stateDir -}}
{{- range $directory := $wanted | uniq | sortAlpha -}}
  {{- $covered := false -}}
  {{- range $directories -}}
    {{- if or (eq . $directory) (hasPrefix (printf "%s/" .) $directory) -}}{{- $covered = true -}}{{- end -}}
  {{- end -}}
  {{- if not $covered -}}
    {{- $volume := printf "node-%d" (sub (len $directories) 1) -}}
    {{- $directories = append $directories $directory -}}
    {{- $volumes = append $volumes (dict "name" $volume "hostPath" (dict "path" $directory "type" "Directory")) -}}
    {{- $mounts = append $mounts (dict "name" $volume "mountPath" $directory "readOnly" true) -}}
  {{- end -}}
{{- end -}}
{{- dict "env" $env "mounts" $mounts "volumes" $volumes | toJson -}}
{{- end }}
