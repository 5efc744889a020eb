kubectl annotate service/web example.org/owner=me
