# A restart is nobody's drift.
kubectl rollout restart deployment/web
