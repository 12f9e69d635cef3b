{{/* What the operator may do where its pipelines are: all of it, and nothing else. */}}
{{- define "penstock.rules" -}}
# Reads pipelines. It never writes a user's object, only its status.
- apiGroups: [penstock.dev]
  resources: [consumerpipelines]
  verbs: [get, list, watch]
# Reports what it observed and did.
- apiGroups: [penstock.dev]
  resources: [consumerpipelines/status]
  verbs: [get, patch, update]
# Owner references block the deletion of a pipeline until its objects are gone; OwnerReferencesPermissionEnforcement asks for this.
- apiGroups: [penstock.dev]
  resources: [consumerpipelines/finalizers]
  verbs: [update]
# Runs the workers of each pipeline.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Hands each worker its pipeline as a file, and an account without any rights.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Keeps node drains from stopping all workers at once.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Sees which workers are ready, and why others are not.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# Reads the Kafka credentials that a pipeline names. It cannot list Secrets.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Tells users what happened.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
