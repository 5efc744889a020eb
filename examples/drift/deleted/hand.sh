kubectl delete deployment/web service/web
