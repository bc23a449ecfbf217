// rulecheck evaluates alerting rules with the engine of Prometheus, and parses expressions of dashboards. It is given
// and prints JSON. promtool does the same from files, but contains clients of every cloud, which take minutes to build.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
)

type request struct {
	// The text of a file of rules.
	Rules string
	// What is only parsed.
	Expressions []string
	Scenarios   []scenario
}

type scenario struct {
	// Series by name and labels, as promtool writes them, with one sample a minute: "up 1x10".
	Series []string
	// Minutes at which to report the firing alerts, in ascending order.
	At []int
}

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

var parse = parser.NewParser(parser.Options{})

func main() {
	log.SetFlags(0)
	answers, err := answer()
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func answer() ([][][]alert, error) {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return nil, err
	}
	for _, expression := range asked.Expressions {
		if _, err := parse.ParseExpr(expression); err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
	}
	// Strict: it refuses fields that no rule has.
	groups, errs := rulefmt.Parse([]byte(asked.Rules), false, model.UTF8Validation, parse, promslog.NewNopLogger())
	if len(errs) > 0 {
		return nil, errs[0]
	}
	answers := [][][]alert{}
	for _, scenario := range asked.Scenarios {
		firing, err := evaluate(groups, scenario)
		if err != nil {
			return nil, err
		}
		answers = append(answers, firing)
	}
	return answers, nil
}

// evaluate evaluates all rules once a minute, and reports what fires at some of these minutes.
func evaluate(groups *rulefmt.RuleGroups, asked scenario) ([][]alert, error) {
	series, err := parseSeries(asked.Series)
	if err != nil {
		return nil, err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: promslog.NewNopLogger(), MaxSamples: 1e6, Timeout: time.Minute, Parser: parse,
	})
	firing := [][]alert{}
	// For each rule and set of labels, since when it holds.
	since := map[string]time.Time{}
	minute := 0
	for _, at := range asked.At {
		var alerts []alert
		for ; minute <= at; minute++ {
			now := time.Unix(int64(minute)*60, 0).UTC()
			alerts = []alert{}
			held := map[string]time.Time{}
			for _, group := range groups.Groups {
				for _, rule := range group.Rules {
					query, err := engine.NewInstantQuery(context.Background(), series, nil, rule.Expr, now)
					if err != nil {
						return nil, err
					}
					vector, err := query.Exec(context.Background()).Vector()
					if err != nil {
						return nil, fmt.Errorf("%s: %w", rule.Alert, err)
					}
					for _, sample := range vector {
						key := rule.Alert + sample.Metric.String()
						held[key] = now
						if earlier, ok := since[key]; ok {
							held[key] = earlier
						}
						if now.Sub(held[key]) < time.Duration(rule.For) {
							continue
						}
						found, err := describe(rule, sample)
						if err != nil {
							return nil, err
						}
						alerts = append(alerts, found)
					}
				}
			}
			since = held
		}
		firing = append(firing, alerts)
	}
	return firing, nil
}

func describe(rule rulefmt.Rule, sample promql.Sample) (alert, error) {
	described := alert{sample.Metric.Map(), map[string]string{}}
	delete(described.Labels, labels.MetricName)
	described.Labels[labels.AlertName] = rule.Alert
	for name, value := range rule.Labels {
		described.Labels[name] = value
	}
	data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
	for name, text := range rule.Annotations {
		text = "{{$labels := .Labels}}{{$value := .Value}}" + text
		expanded, err := template.NewTemplateExpander(
			context.Background(), text, rule.Alert, data, model.Time(sample.T), nil, nil, nil,
		).Expand()
		if err != nil {
			return alert{}, fmt.Errorf("%s: %w", rule.Alert, err)
		}
		described.Annotations[name] = expanded
	}
	return described, nil
}
