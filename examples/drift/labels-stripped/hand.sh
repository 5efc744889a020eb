kubectl label deployment/web toolforge.org/tool- app.kubernetes.io/name- app.kubernetes.io/managed-by- app.kubernetes.io/component-
