kubectl patch tool/suspended --type=merge --field-manager=toolforge-cli --patch '{"spec": {"pin": {"suspend": true}}}'
kubectl scale deployment/web --replicas=0
