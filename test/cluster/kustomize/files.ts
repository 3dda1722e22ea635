/** A kustomization that uses everything that is rendered, and more than our overlays need: files by path. */
export const everything: Readonly<Record<string, string>> = {
  "base/kustomization.yaml": `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [workloads.yaml, other.yaml]
labels:
  - pairs: { part-of: everything }
    includeTemplates: true
`,
  "base/workloads.yaml": `# A comment, and a document that is empty
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: one, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      initContainers:
        - { name: first, image: "app:1" }
      containers:
        - name: web
          image: app
          env:
            - { name: A, value: "1" }
            - { name: B, value: "yes" }
            - name: C
              valueFrom: { configMapKeyRef: { name: settings, key: c } }
          ports:
            - { containerPort: 80, protocol: TCP }
            - { containerPort: 81 }
          volumeMounts:
            - { name: data, mountPath: /data }
            - { name: settings, mountPath: /settings }
        - name: helper
          image: registry.example:5000/helper@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
          envFrom: [{ configMapRef: { name: settings } }, { configMapRef: { name: fixed } }]
      tolerations: [{ key: a, operator: Exists }]
      topologySpreadConstraints:
        - { topologyKey: zone, whenUnsatisfiable: DoNotSchedule, maxSkew: 1 }
      volumes:
        - { name: data, emptyDir: {} }
        - { name: settings, configMap: { name: settings, defaultMode: 0440 } }
        - { name: all, projected: { sources: [{ configMap: { name: settings } }, { configMap: { name: elsewhere } }] } }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly, namespace: one }
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{ name: job, image: "app:2", env: [{ name: X, valueFrom: { configMapKeyRef: { name: settings, key: x } } }] }]
`,
  "base/other.yaml": `apiVersion: v1
kind: Service
metadata: { name: web, namespace: one, annotations: { note: "a: b # c" } }
spec: { ports: [{ name: http, port: 80 }, { name: https, port: 443, protocol: TCP }] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: reader, namespace: one }
rules: [{ apiGroups: [""], resources: [configmaps], resourceNames: [settings, other], verbs: [get] }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: hooks }
webhooks:
  - { name: a.example.com, admissionReviewVersions: [v1], sideEffects: None, clientConfig: { service: { name: web, namespace: one } } }
  - { name: b.example.com, admissionReviewVersions: [v1], sideEffects: None, clientConfig: { url: "https://example.com" } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: gone, namespace: one }
spec: { podSelector: {} }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: kept, namespace: one }
spec: { podSelector: {}, ingress: [{ ports: [{ port: 1 }] }] }
---
apiVersion: example.com/v1
kind: Unknown
metadata: { name: custom }
spec: { containers: [{ name: a, image: "app:3" }], list: [1, 2], text: "<&>" }
---
apiVersion: v1
kind: Namespace
metadata: { name: one }
`,
  "component/kustomization.yaml": `apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [more.yaml]
images: [{ name: app, newTag: "7" }]
patches:
  - target: { kind: Deployment }
    patch: |
      - { op: add, path: /metadata/annotations, value: { by: component } }
      - { op: replace, path: /spec/replicas, value: 3 }
      - { op: test, path: /spec/replicas, value: 3 }
      - { op: add, path: /spec/template/spec/containers/0/args, value: [a] }
      - { op: add, path: /spec/template/spec/containers/0/args/-, value: c }
      - { op: add, path: /spec/template/spec/containers/0/args/1, value: b }
      - { op: copy, from: /metadata/name, path: /metadata/annotations/a~1b~0c }
      - { op: remove, path: /spec/template/spec/tolerations }
`,
  "component/more.yaml": `apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web, namespace: one }
spec: { maxUnavailable: 1 }
`,
  "overlay/kustomization.yaml": `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
components: [../component]
images:
  - { name: app, newName: registry.example/app, digest: "sha256:00" }
  - { name: registry.example:5000/helper, newTag: v2 }
generatorOptions:
  annotations: { generated: "true" }
configMapGenerator:
  - name: settings
    namespace: one
    files: [settings.txt, other=settings.txt]
    literals: [c=1, 'x="quoted"', "empty="]
    options: { labels: { l: m } }
  - name: fixed
    namespace: one
    literals: [a=b]
    options: { disableNameSuffixHash: true }
patches:
  - path: web.yaml
  - target: { kind: NetworkPolicy, name: gone|missing }
    patch: |
      $patch: delete
      kind: NetworkPolicy
      metadata: { name: any }
  - target: { labelSelector: "part-of=everything", kind: "Serv.*" }
    patch: |
      kind: Service
      metadata: { name: any }
      spec: { ports: [{ port: 443, protocol: TCP, nodePort: 30000 }, { port: 9000, protocol: TCP, name: more }], selector: { app: web } }
  - patch: |
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: { name: kept, namespace: one }
      spec: { ingress: [{ ports: [{ port: 2 }] }] }
  - patch: |
      apiVersion: admissionregistration.k8s.io/v1
      kind: ValidatingWebhookConfiguration
      metadata: { name: hooks }
      webhooks: [{ name: b.example.com, failurePolicy: Ignore }, { name: c.example.com }]
  - patch: |
      apiVersion: example.com/v1
      kind: Unknown
      metadata: { name: custom }
      spec: { list: [3], text: null, more: { a: { b: c } } }
replacements:
  - source: { kind: Deployment, name: web, fieldPath: "spec.template.spec.containers.[name=web].image" }
    targets:
      - select: { kind: Service }
        fieldPaths: ["metadata.annotations.image\\\\.of/web", "metadata.annotations.note"]
        options: { create: true }
  - source: { kind: Deployment, name: web, fieldPath: spec.template.spec.initContainers.0.image, options: { delimiter: "@", index: 1 } }
    targets:
      - select: { kind: CronJob }
        reject: [{ name: never }]
        fieldPaths: ["spec.jobTemplate.spec.template.spec.containers.*.name"]
        options: { delimiter: "-", index: 1 }
  - sourceValue: "5"
    targets: [{ select: { kind: Deployment }, fieldPaths: [spec.replicas] }]
`,
  "overlay/settings.txt": "a <b> & 'c' \u2028 ü\n\ttab\n",
  "overlay/web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: one
  annotations: { more: "1" }
spec:
  template:
    spec:
      containers:
        - name: new
          image: new:1
        - name: helper
          $patch: delete
        - name: web
          env:
            - { name: B, value: "no" }
            - { name: D, value: "4" }
            - { name: A, $patch: delete }
          ports:
            - { containerPort: 81, name: more }
            - { containerPort: 82 }
          volumeMounts:
            - { name: new, mountPath: /new }
            - { name: data, mountPath: /data, readOnly: true }
          resources: { limits: { memory: 1Gi } }
      tolerations: [{ key: b, operator: Exists }]
      topologySpreadConstraints:
        - { topologyKey: host, whenUnsatisfiable: ScheduleAnyway, maxSkew: 2 }
      volumes:
        - { name: new, configMap: { name: settings } }
        - { name: data, emptyDir: null, hostPath: { path: /data } }
`,
};
