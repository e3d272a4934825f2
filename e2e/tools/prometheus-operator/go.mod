module sancho.dev/e2e/tools/prometheus-operator

go 1.26.0

// Not a program: its published CustomResourceDefinitions, which the chart's monitors are tried against.
require github.com/prometheus-operator/prometheus-operator v0.85.0
