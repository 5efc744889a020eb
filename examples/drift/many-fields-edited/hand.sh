kubectl set env deployment/web DEBUG=1
kubectl set resources deployment/web --limits=memory=4Gi
kubectl patch service/web --type=json --patch '[{"op": "replace", "path": "/spec/ports/0/port", "value": 9000}]'
kubectl patch networkpolicy/toolforge.default --type=json --patch '[{"op": "replace", "path": "/spec/ingress", "value": [{}]}]'
