module sancho.dev/e2e/tools/gateway-api

go 1.26.0

// Not a program: its published CustomResourceDefinitions, under which the tests' Gateways and HTTPRoutes stand.
require sigs.k8s.io/gateway-api v1.6.3
