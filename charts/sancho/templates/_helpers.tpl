{{/*
All names are fixed: a cluster has one Sancho, since two would each keep a budget of their own for
the same CA. Helm refuses a second release.
*/}}
{{- define "sancho.labels" -}}
app.kubernetes.io/name: sancho
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* What selects the Pods of a component: operator or responder. */}}
{{- define "sancho.selector" -}}
app.kubernetes.io/name: sancho
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "sancho.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Which component answers challenges. */}}
{{- define "sancho.answering" -}}
{{ ternary "responder" "operator" .Values.responder.enabled }}
{{- end }}

{{/* A service account as the subject of a binding: (list root name). */}}
{{- define "sancho.subjects" -}}
- kind: ServiceAccount
  name: {{ index . 1 }}
  namespace: {{ (index . 0).Release.Namespace }}
{{- end }}
