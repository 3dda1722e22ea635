/** Plain manifests of programs for tests: nothing of them knows of the mesh. */

export interface Program {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly replicas?: number;
  /** Variables of the container. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where it listens; with it comes a Service on `servicePort`, 80 by default. */
  readonly port?: number;
  readonly servicePort?: number;
  readonly appProtocol?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  /** More of the container, such as probes. */
  readonly container?: object;
  /** More of the pod. */
  readonly pod?: object;
}

/** A template of pods. */
export function podTemplate({ name, image, command, env = {}, port, annotations = {}, serviceAccount, container, pod }: Program): object {
  return {
    metadata: { labels: { app: name }, annotations },
    spec: {
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
      containers: [
        {
          name,
          image,
          command,
          env: Object.entries(env).map(([variable, value]) => ({ name: variable, value })),
          ...(port === undefined
            ? {}
            : { ports: [{ name: "main", containerPort: port }], readinessProbe: { tcpSocket: { port: "main" }, periodSeconds: 1 } }),
          ...container,
        },
      ],
      ...pod,
    },
  };
}

/** A Deployment, its Service where it listens, and its service account where it has one of its own; for `kubectl apply`. */
export function deployment(program: Program): string {
  const { name, replicas = 1, port, servicePort = 80, appProtocol, serviceAccount } = program;
  const selector = { app: name };
  const items: object[] = [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: { replicas, selector: { matchLabels: selector }, template: podTemplate(program) },
    },
  ];
  if (port !== undefined) {
    const ports = [{ port: servicePort, targetPort: port, ...(appProtocol === undefined ? {} : { appProtocol }) }];
    items.push({ apiVersion: "v1", kind: "Service", metadata: { name }, spec: { selector, ports } });
  }
  if (serviceAccount !== undefined) items.push({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: serviceAccount } });
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}
