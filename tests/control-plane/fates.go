package main

import "strings"

// A fate is how a pod ends up when its annotations, command, arguments or
// environment say so: `fate=crash-loop`, or `fate-on-0123abcd=crash-loop` for
// pods whose image has a digest with these digits. Chosen by the pod, so that
// tests that share one control plane do not disturb each other.
type fate struct{ name, phase, ready, policies, container string }

// anyPolicy is every restartPolicy.
const anyPolicy = "Always, OnFailure, Never"

var fates = []fate{
	{"crash-loop", "Running", "False", anyPolicy, `restartCount: 5
        started: false
        state: {waiting: {reason: CrashLoopBackOff, message: back-off 2m40s restarting failed container}}
        lastState: {terminated: {exitCode: 1, reason: Error, startedAt: THEN, finishedAt: THEN}}`},
	{"image-pull", "Pending", "False", anyPolicy, `restartCount: 0
        started: false
        state: {waiting: {reason: ImagePullBackOff, message: Back-off pulling image}}`},
	{"never-ready", "Running", "False", anyPolicy, `restartCount: 0
        started: true
        state: {running: {startedAt: THEN}}`},
	// A pod that ended badly: of a Job, its failure. What would restart in place does not end, and a ReplicaSet would
	// make a new pod for each, a hundred in a second.
	{"exit", "Failed", "False", "Never", `restartCount: 0
        started: false
        state: {terminated: {exitCode: 1, reason: Error, startedAt: THEN, finishedAt: THEN}}`},
	// A Job's pod that runs on and on.
	{"run-on", "Running", "True", anyPolicy, `restartCount: 0
        started: true
        state: {running: {startedAt: THEN}}`},
}

// The weight beats kwok's own stages (0). The status never names the present,
// so that playing the stage again changes nothing and cannot loop.
const fateStage = `apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: fate-NAME}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  weight: 1
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - key: >-
        .spec.containers[0].image as $image | [.metadata.annotations, .spec.containers] | tostring |
        (capture("fate[=\":]+(?<fate>[a-z-]+)") //
        (capture("fate-on-(?<digits>[0-9a-f]+)=(?<fate>[a-z-]+)") | select(.digits as $digits | $image | contains($digits))))
        | .fate
      operator: In
      values: [NAME]
    - {key: .spec.restartPolicy, operator: In, values: [POLICIES]}
  next:
    statusTemplate: |
      phase: PHASE
      startTime: THEN
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: THEN}
      - {type: Ready, status: "READY", reason: Fate, lastTransitionTime: THEN}
      - {type: ContainersReady, status: "READY", reason: Fate, lastTransitionTime: THEN}
      containerStatuses:
      {{ range .spec.containers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        ready: LOWER
        CONTAINER
      {{ end }}
`

// fateStages are kwok stages, one YAML document each.
func fateStages() []string {
	var stages []string
	for _, fate := range fates {
		ready := map[string]string{"True": "true", "False": "false"}[fate.ready]
		then := "{{ $.metadata.creationTimestamp | Quote }}"
		stage := strings.NewReplacer("NAME", fate.name, "PHASE", fate.phase, "READY", fate.ready,
			"LOWER", ready, "POLICIES", fate.policies, "CONTAINER", fate.container).Replace(fateStage)
		stages = append(stages, strings.ReplaceAll(stage, "THEN", then))
	}
	return stages
}
