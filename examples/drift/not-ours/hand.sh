kubectl create service clusterip bot --tcp=9000
