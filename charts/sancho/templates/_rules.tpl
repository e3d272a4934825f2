{{/* What Sancho does with the objects of one namespace. */}}
{{- define "sancho.namespacedRules" -}}
- apiGroups: [sancho.dev]
  resources: [certificates, issuers]
  verbs: [get, list, watch]
# The annotation sancho.dev/revoke is removed once it is done.
- apiGroups: [sancho.dev]
  resources: [certificates]
  verbs: [patch]
{{- if .Values.ingressAnnotations.enabled }}
# Certificates for annotated Ingresses and Gateways.
- apiGroups: [sancho.dev]
  resources: [certificates]
  verbs: [create, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch]
{{- end }}
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

{{/* What the responder looks at in one namespace: tokens, and the thumbprints of account keys. */}}
{{- define "sancho.responderRules" -}}
- apiGroups: [sancho.dev]
  resources: [certificateshards, issuers]
  verbs: [get, list, watch]
{{- end }}

{{/*
A Role and its binding to a service account, as (dict "root" "name" "namespace" "rules" "account").
*/}}
{{- define "sancho.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "sancho.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "sancho.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  {{- include "sancho.subjects" (list .root .account) | nindent 2 }}
{{- end }}

{{/* The same for the whole cluster, as (dict "root" "name" "rules" "account" "annotations"). */}}
{{- define "sancho.clusterRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels:
    {{- include "sancho.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "sancho.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}
subjects:
  {{- include "sancho.subjects" (list .root .account) | nindent 2 }}
{{- end }}
