{{/*
All names are fixed: a cluster has one Sancho, since two would each keep a budget of their own for
the same CA. Helm refuses a second release.
*/}}
{{- define "sancho.selectorLabels" -}}
app.kubernetes.io/name: sancho
{{- end }}

{{- define "sancho.labels" -}}
{{ include "sancho.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "sancho.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "sancho.subjects" -}}
- kind: ServiceAccount
  name: sancho
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What Sancho does with the objects of one namespace. */}}
{{- define "sancho.namespacedRules" -}}
- apiGroups: [sancho.dev]
  resources: [certificates, issuers]
  verbs: [get, list, watch]
- apiGroups: [sancho.dev]
  resources: [certificateshards]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [sancho.dev]
  resources: [certificates/status, certificateshards/status, issuers/status]
  verbs: [get, update, patch]
# For owner references that block the owner's deletion.
- apiGroups: [sancho.dev]
  resources: [certificates/finalizers, certificateshards/finalizers]
  verbs: [update]
# Read and written by name. The watch takes the metadata of Secrets with Sancho's label only, so that a
# deleted one comes back at once; RBAC itself cannot restrict by label. Deleted are only the keys of
# orders that are done.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "sancho.clusterIssuerRules" -}}
- apiGroups: [sancho.dev]
  resources: [clusterissuers]
  verbs: [get, list, watch]
- apiGroups: [sancho.dev]
  resources: [clusterissuers/status]
  verbs: [get, update, patch]
{{- end }}
