{{/* What lets a Pod run in a namespace that enforces the Pod Security Standard "restricted". */}}
{{- define "sancho.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "sancho.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What holds for every Pod, the Job's too, as lines of its spec. */}}
{{- define "sancho.everyPod" -}}
securityContext:
  {{- include "sancho.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The Pod template of a Deployment, as (dict "root" "component" "container" "account" "args" "resources").
*/}}
{{- define "sancho.pod" -}}
{{- $values := .root.Values }}
{{- $component := .component -}}
metadata:
  labels:
    {{- include "sancho.selector" .component | nindent 4 }}
    app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: true
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- include "sancho.everyPod" .root | nindent 2 }}
  containers:
    - name: {{ .container }}
      image: {{ include "sancho.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - {{ .component }}
        - --http-listen
        - {{ printf "%s:8080" $values.listenAddress | quote }}
        - --health-listen
        - {{ printf "%s:8081" $values.listenAddress | quote }}
        {{- with $values.watchNamespaces }}
        - --watch-namespaces
        - {{ join "," . | quote }}
        {{- end }}
        {{- with .extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        # A container that starts again takes at once what the earlier one of its Pod held.
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        - name: POD_UID
          valueFrom: { fieldRef: { fieldPath: metadata.uid } }
        - name: POD_NAMESPACE
          valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
        - name: CONTAINER_NAME
          value: {{ .container }}
        - name: SANCHO_LOG
          value: {{ $values.logFilter | quote }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
        - name: health
          containerPort: 8081
      # It answers while it lives, with or without an API server: a start would mend neither.
      livenessProbe:
        httpGet: { path: /livez, port: health }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # Once it has seen all that exists, so that it can answer every challenge.
      readinessProbe:
        httpGet: { path: /readyz, port: health }
        periodSeconds: 5
        timeoutSeconds: 2
      {{- with $values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      securityContext:
        {{- include "sancho.containerSecurity" . | nindent 8 }}
      {{- with .resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with $values.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not (hasKey . "labelSelector") }}
      labelSelector:
        matchLabels:
          {{- include "sancho.selector" $component | nindent 10 }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
