# What is there stays right; who applies it is forgotten.
kubectl patch deployment/web --type=json --patch '[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]'
