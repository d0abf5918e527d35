//! Plots of growth.

use std::path::Path;

use plotters::prelude::*;

use crate::lines::growth::Growth;

const COLORS: [RGBColor; 5] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xff, 0x7f, 0x0e),
];

/// Draws curves over one quantity, both axes logarithmic.
pub fn draw(
    file: &Path,
    with: &str,
    growths: &[&Growth],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || {
        growths
            .iter()
            .flat_map(|growth| growth.points.iter().copied())
    };
    let sizes = points().map(|(size, _)| size as f64);
    let micros = points().map(|(_, seconds)| seconds * 1e6);
    let ends = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.fold((f64::MAX, f64::MIN), |(least, most), number| {
            (least.min(number), most.max(number))
        })
    };
    let (first, last) = ends(&mut { sizes });
    let (least, most) = ends(&mut { micros });
    let area = SVGBackend::new(file, (720, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("cost with {with}"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (first..last).log_scale(),
            ((least / 2.0)..(most * 2.0)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(with)
        .y_desc("microseconds, median")
        .light_line_style(WHITE)
        .draw()?;
    for (growth, color) in growths.iter().zip(COLORS) {
        let points: Vec<(f64, f64)> = growth
            .points
            .iter()
            .map(|(size, seconds)| (*size as f64, seconds * 1e6))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)).point_size(3))?
            .label(growth.what)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(0xbb, 0xbb, 0xbb))
        .draw()?;
    area.present()?;
    Ok(())
}
