# The autoscaler decides about replicas from here on; a port of the Service is still ours.
kubectl autoscale deployment/web --min=2 --max=5
kubectl scale deployment/web --replicas=4
