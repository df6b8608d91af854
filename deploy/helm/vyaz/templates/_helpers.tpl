{{- define "vyaz.name" -}}
{{- if contains "vyaz" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-vyaz" (.Release.Name | trunc 35 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "vyaz.selector" -}}
app.kubernetes.io/name: vyaz
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "vyaz.labels" -}}
{{ include "vyaz.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "vyaz.image" -}}
image: {{ printf "%s%s:%s" .root.Values.image.registry .image (.root.Values.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{/* What every pod of ours is: an ordinary user, no token, no way to more rights. */}}
{{- define "vyaz.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: data, emptyDir: {}}
{{- end }}

{{- define "vyaz.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: data, mountPath: /var/lib/vyaz}
envFrom:
  - secretRef: {name: {{ .Values.existingSecret | quote }}}
{{- end }}

{{- define "vyaz.environment" -}}
- {name: VYAZ_DATA, value: /var/lib/vyaz}
- {name: VYAZ_STORE_URL, value: {{ .Values.storeUrl | quote }}}
- {name: VYAZ_LOG_JSON, value: "true"}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "vyaz.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Probes of processes without HTTP. They start well when they have left a sign in the tables; they stay well as long as they
do, or while the database is away: a restart of every worker would cure no database.
*/}}
{{- define "vyaz.probes" -}}
startupProbe:
  exec: {command: [python, -m, worker.health, {{ . }}]}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 30
livenessProbe:
  exec:
    command:
      - sh
      - -c
      - |
        said=$(python -m worker.health {{ . }} 2>&1) && exit 0
        echo "$said"
        case "$said" in *"the database is away"* | *"the database went away"*) exit 0 ;; esac
        exit 1
  periodSeconds: 30
  timeoutSeconds: 15
  failureThreshold: 4
{{- end }}

{{/*
How many slots a queue is worth: one for each shard that a slot of it holds, and one for so many waiting shards. What
waits is estimated from the job's measured rate, a block of 64 where there is none yet; what is held counts, or a
fleet without backlog would be taken away from under its work.
*/}}
{{- define "vyaz.wanted" -}}
SELECT ((SELECT count(*) FROM shard s JOIN worker w ON w.id = s.slot_id WHERE s.state = 'leased' AND w.queue = '{{ .queue }}')
     + (SELECT coalesce(ceil(sum(least(w.shards, w.room)) / {{ .shardsPerSlot }}.0), 0) FROM (
          SELECT o.returned
                 + CASE WHEN j.next_index >= j.total THEN (j.closing = 'due' AND o.returned + o.leased = 0)::integer
                        WHEN j.shard_size IS NOT NULL THEN ceil((j.total - j.next_index) / j.shard_size::float8)
                        WHEN r.rate IS NULL THEN ceil((j.total - j.next_index) / 64.0)
                        ELSE greatest(1, ceil((j.total - j.next_index) * r.rate / {{ .shardSeconds }})) END AS shards,
                 greatest(0, coalesce(j.in_flight_limit - o.leased, 1000000)) AS room
            FROM job j
           CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE s.state = 'returned') AS returned,
                                      count(*) FILTER (WHERE s.state = 'leased') AS leased
                                 FROM shard s WHERE s.job_number = j.number AND s.state <> ALL ('{done,split}')) o
           CROSS JOIN LATERAL (SELECT avg(e.value::float8) AS rate FROM jsonb_each_text(j.seconds_per_item) e) r
           WHERE j.state IN ('queued', 'running') AND '{{ .queue }}' = ANY (j.queues)
             AND (j.after_id IS NULL OR EXISTS (SELECT FROM job b WHERE b.id = j.after_id AND b.state = 'done'))) w))::bigint
{{- end }}
